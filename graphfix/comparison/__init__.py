"""Where the outputs of two sides part: runtimes, inputs, metrics, layer by layer.

report = graphfix.compare("model.onnx", "model.fixed.onnx", layers=True)
"""
