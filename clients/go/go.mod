module payments.nivisco/client

go 1.19
