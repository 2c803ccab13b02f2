/* What the pixel does, shown on the page. */
(function () {
  "use strict";
})();
