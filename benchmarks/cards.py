"""x"""
def bytes_sent(*a, **k): return 0
