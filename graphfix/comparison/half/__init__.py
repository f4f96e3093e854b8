"""The preview of half precision: a model computed on the CPU as the target would hold it.

report = graphfix.preview_fp16("model.onnx", soc="Ascend310P3")
"""
