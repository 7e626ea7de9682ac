"""What is trained: parameters and what may be done to them, optimizers, kernels, data, problems."""
