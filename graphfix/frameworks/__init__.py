"""Models of PyTorch, TensorFlow and Paddle, and the ONNX file that CANN likes best of each.

What a user names is identified without running any of it (`source`). Building the model, exporting
and proving the result run in a process of their own (`worker`), since all three run code that may
print, exit or crash. `graphfix.frameworks.export` leads it and puts the winner into place.
"""
