// Command probe is the program of the test image: a small web server that tells what it sees from inside of a pod.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "lookup" {
		addresses, err := net.LookupHost(os.Args[2])
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(strings.Join(addresses, " "))
		return
	}
	version := os.Getenv("VERSION")
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "version=%s host=%s forwarded=%s for=%s\n", version, r.Host, r.Header.Get("X-Forwarded-Host"), r.Header.Get("X-Forwarded-For"))
	})
	http.HandleFunc("/fetch", func(w http.ResponseWriter, r *http.Request) {
		// A connection of its own for each question: one that is established outlives the policy that would not admit it.
		client := http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		response, err := client.Get(r.URL.Query().Get("url"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer response.Body.Close()
		_, _ = io.Copy(w, response.Body)
	})
	http.HandleFunc("/note", func(w http.ResponseWriter, r *http.Request) {
		if text := r.URL.Query().Get("write"); text != "" {
			if err := os.WriteFile("/data/note", []byte(text), 0o644); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
		}
		content, err := os.ReadFile("/data/note")
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		_, _ = w.Write(content)
	})
	server := &http.Server{Addr: ":8080"}
	go func() {
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGTERM)
		<-signals
		server.Close()
	}()
	fmt.Println("probe serves, version", version)
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		log.Fatal(err)
	}
}
