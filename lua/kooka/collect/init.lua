--- collect: posts and likes from X, archives; pacing. Each is loaded when first used.
return require "kooka.lazy" "kooka.collect"
