"""Tools that agents call: search, Python, wiki pages, a calculator, and the runtime that keeps them in bounds."""
