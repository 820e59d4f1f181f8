// A runner in Go that shows a certificate: run by tests/all/tls.rs.
//
// usage: tls_runner ADDRESS CA CERTIFICATE KEY
//
// Prints whom the daemon takes it for, and whether its second connection was resumed. The library of
// gRPC is left out: crypto/tls and net/http speak all that a unary call needs.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
)

func main() {
	log.SetFlags(0)
	address, ca := os.Args[1], os.Args[2]
	pem, err := os.ReadFile(ca)
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		log.Fatal("no authority in ", ca)
	}
	pair, err := tls.LoadX509KeyPair(os.Args[3], os.Args[4])
	if err != nil {
		log.Fatal(err)
	}
	config := &tls.Config{
		RootCAs:            roots,
		Certificates:       []tls.Certificate{pair},
		ClientSessionCache: tls.NewLRUClientSessionCache(8),
		NextProtos:         []string{"h2"},
	}
	for range 2 {
		// A transport of its own is a connection of its own; the tickets are shared.
		transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
		whoAmI(&http.Client{Transport: transport}, address)
		transport.CloseIdleConnections()
	}
}

func whoAmI(client *http.Client, address string) {
	url := "https://" + address + "/claviger.v1.AccessService/WhoAmI"
	request, err := http.NewRequest("POST", url, bytes.NewReader(make([]byte, 5)))
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("content-type", "application/grpc")
	request.Header.Set("te", "trailers")
	answer, err := client.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		log.Fatal(err)
	}
	status := answer.Trailer.Get("grpc-status") + answer.Header.Get("grpc-status")
	// The prefix of the message, and of its first field: the principal.
	if status != "0" || len(body) < 7 || body[5] != 0x0a {
		log.Fatal("status ", status, " ", answer.Header.Get("grpc-message"))
	}
	fmt.Println(string(body[7:7+int(body[6])]), answer.TLS.DidResume)
}
