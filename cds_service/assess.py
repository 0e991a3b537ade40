"""The composition: gathered resources in, an Assessment out. Pure; the only way to a Finding."""
