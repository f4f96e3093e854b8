"""Where the outputs of two sides part: runtimes, inputs, metrics, layer by layer."""
