# expect: forbidden
import os

os.execv("/usr/bin/env", ["env"])
