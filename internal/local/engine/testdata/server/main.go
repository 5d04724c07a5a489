// Command server answers "mild" at port 8080, or with an argument says it as an error and ends.
package main

import (
	"fmt"
	"net/http"
	"os"
)

func main() {
	if len(os.Args) > 1 {
		fmt.Fprintln(os.Stderr, os.Args[1])
		os.Exit(3)
	}
	fmt.Fprintln(os.Stderr, http.ListenAndServe(":8080", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "mild") })))
}
