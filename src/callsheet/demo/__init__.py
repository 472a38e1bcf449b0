"""The made-up data set that shows a new user what callsheet does."""
