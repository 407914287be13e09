"""What holds for the exact map, each as a loss that vanishes there: the identities that objectives are made of."""
