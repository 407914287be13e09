"""What estimators of KL are built from: draws, preimages, meshes, log densities of images, and means of log ratios."""
