# expect: output_limit
while True:
    emit("x" * 10_000)
