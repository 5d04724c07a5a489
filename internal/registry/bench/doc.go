// Package bench compares the registry with distribution/distribution v3, the registry that
// most others are made of, on the same disk and with the same client. The module in
// distribution/ pins it; a benchmark builds and starts it.
//
//	go test ./internal/registry/bench -bench . -run '^$' -count 5
package bench
