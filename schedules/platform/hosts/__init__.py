"""What the software of ranks costs beside their kernels and bytes, and how it was measured."""
