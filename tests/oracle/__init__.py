"""The oracle: what the contract says must hold, told by a slow, separate program that imports nothing from `goalstream`."""
