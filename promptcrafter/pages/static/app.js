// What JavaScript adds to the pages. Everything works without it.
"use strict";
