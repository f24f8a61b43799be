module roadstead/bench/load

go 1.21
