# expect: exception
def deeper():
    deeper()


deeper()
