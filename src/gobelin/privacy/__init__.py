"""Privacy of the training rows: was any of them copied?"""
