/* What the pixel reports by itself. */
(function () {
  "use strict";
})();
