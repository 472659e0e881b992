-- callgrind.lua -- instructions of one step of each piece of tests/bench/count.lua; written by `make callgrind-counts`.
return {
  compiler = "cc (Debian 12.2.0-14+deb12u1) 12.2.0",
  kernel = "avx2",
  lstm = 1886693,
  lm = 5237344,
  linear_ce = 1312508,
}
