module run

go 1.19

require payments.nivisco/client v0.0.0

replace payments.nivisco/client => ../../../clients/go
