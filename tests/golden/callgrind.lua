-- callgrind.lua -- instructions of one step of each piece of tests/bench/count.lua; written by `make callgrind-counts`.
return {
  compiler = "cc (Debian 12.2.0-14+deb12u1) 12.2.0",
  kernel = "avx2",
  lstm = 1938857,
  lm = 6348053,
  linear_ce = 1528925,
}
