package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protowire"
)

// So long before its end a short token is no longer used.
const margin = 30 * time.Second

// A token of a platform (a JWT). Nothing else that a wrong path leads to is sent anywhere.
var platformToken = regexp.MustCompile(`^[\w-]+\.[\w-]+\.[\w-]+$`)

// noProof says why the platform shows nothing of the job, with the remedy; again: it may, a little later.
type noProof struct {
	message string
	again   bool
}

func (n noProof) Error() string { return n.message }

// identity is the job, as the platform that runs it knows it. CLAVIGER_PROOF says where that shows:
//
//	file:/run/claviger/token  a file that the platform keeps fresh, as Kubernetes does
//	github:AUDIENCE           GitHub Actions, for a job with `permissions: id-token: write`
//
// The platform's token goes to Claviger once, for a short token that the calls are made with.
type identity struct {
	proof   string
	channel *grpc.ClientConn
	short   string
	end     time.Time
}

// token is that for the next call: the one there is, or a new one shortly before its end.
func (i *identity) token(cx context.Context) (string, error) {
	if time.Until(i.end) > margin {
		return i.short, nil
	}
	proof, err := ofPlatform(cx, i.proof)
	if err != nil {
		return "", err
	}
	cx = metadata.AppendToOutgoingContext(cx, "authorization", "Bearer "+proof)
	var answer []byte
	err = i.channel.Invoke(cx, "/claviger.v1.AccessService/ExchangeToken", []byte{}, &answer, grpc.ForceCodec(bytesCodec{}))
	if err != nil {
		return "", err
	}
	// ExchangeTokenResponse: token = 1, expire_time = 2; in that seconds = 1.
	seconds, _ := protowire.ConsumeVarint(field(bytes(answer, 2), 1))
	i.short, i.end = string(bytes(answer, 1)), time.Unix(int64(seconds), 0)
	return i.short, nil
}

// ofPlatform is the platform's token. Nothing is kept of it: the platform renews it.
func ofPlatform(cx context.Context, proof string) (string, error) {
	kind, rest, _ := strings.Cut(proof, ":")
	var token string
	var err error
	switch {
	case kind == "file" && rest != "":
		var content []byte
		if content, err = os.ReadFile(rest); err != nil {
			err = noProof{"CLAVIGER_PROOF cannot be read: " + err.Error(), false}
		}
		token = strings.TrimSpace(string(content))
	case kind == "github" && rest != "":
		token, err = ofGitHub(cx, rest)
	default:
		err = noProof{"CLAVIGER_PROOF is neither file:/path/of/a/token nor github:AUDIENCE", false}
	}
	if err != nil {
		return "", err
	}
	if !platformToken.MatchString(token) {
		return "", noProof{"CLAVIGER_PROOF leads to no token of a platform (a JWT: two dots, no spaces)", false}
	}
	return token, nil
}

func ofGitHub(cx context.Context, audience string) (string, error) {
	address, bearer := os.Getenv("ACTIONS_ID_TOKEN_REQUEST_URL"), os.Getenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
	if address == "" || bearer == "" {
		return "", noProof{"GitHub offers this job no token; write `permissions: id-token: write` into its workflow", false}
	}
	silent := noProof{"GitHub gives no token: no answer that can be read", true}
	request, err := http.NewRequestWithContext(cx, http.MethodGet, address+"&audience="+url.QueryEscape(audience), nil)
	if err != nil {
		return "", silent
	}
	request.Header.Set("Authorization", "Bearer "+bearer)
	client := http.Client{Timeout: 10 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		return "", silent
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return "", noProof{fmt.Sprintf("GitHub gives no token: %d", response.StatusCode), response.StatusCode >= 500}
	}
	var answer struct{ Value string }
	if json.NewDecoder(response.Body).Decode(&answer) != nil {
		return "", silent
	}
	return answer.Value, nil
}
