# expect: timeout
import atexit
import threading
import time


class Clinging:
    def __del__(self):
        while True:
            time.sleep(1)


clinging = Clinging()
atexit.register(time.sleep, 1000)
threading.Thread(target=time.sleep, args=(1000,)).start()
