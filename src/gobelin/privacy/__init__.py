"""Is anybody copied, can anybody be found?"""
