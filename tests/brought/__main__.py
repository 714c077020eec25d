from __future__ import annotations

from tests import brought

brought.PAGE.write_text(brought.page(), encoding="utf-8")
