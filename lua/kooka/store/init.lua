--- store: what was collected, in SQLite. Each is loaded when first used.
return require "kooka.lazy" "kooka.store"
