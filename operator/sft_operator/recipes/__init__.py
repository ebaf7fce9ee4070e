"""Recipes: the catalogue, how a user's settings are laid over a recipe, and which values are allowed."""
