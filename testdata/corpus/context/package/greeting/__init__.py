def say():
    print("hello")
