"""Ad touches, names and spend: how they come in and what becomes of them."""
