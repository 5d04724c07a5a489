module example.com/shop

go 1.26

require (
	github.com/google/go-cmp v0.7.0
	golang.org/x/text v0.3.5
	github.com/docker/docker v28.0.0+incompatible
)

require golang.org/x/mod v0.42.0 // indirect

require example.com/local v1.0.0

require example.com/forked v1.0.0

replace example.com/local => ./local

replace example.com/forked v1.0.0 => example.com/fork v1.2.0
