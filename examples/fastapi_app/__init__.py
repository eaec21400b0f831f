"""An order API in FastAPI whose work is done by workflows."""
