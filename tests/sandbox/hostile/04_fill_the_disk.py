# expect: exception|output_limit
number = 0
while True:
    number += 1
    with open(f"file{number}", "wb") as file:
        file.write(b"x" * 10_000_000)
