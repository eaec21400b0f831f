"""Small programs, one for each thing that workflows are often asked to do. `README.md` lists them."""
