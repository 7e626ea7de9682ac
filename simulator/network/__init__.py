"""Links and the transfers that share them: flows at max-min fair rates."""
