// A job that fetches its Stripe key from Claviger and lists the customers.
//
// It reads the same variables as the example in Python, ../stripe-runner. A job of your own would
// generate stubs from proto/claviger/v1 with buf or protoc; here the calls are written out, so that
// `go run .` is all it takes.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/stripe/stripe-go/v85"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpccredentials "google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
)

// From sysexits.h: a service manager tries again after the one and not after the other.
const (
	tryAgain      = 75
	configuration = 78
)

// SecretDefinition.Kind.STRIPE_API_KEY.
const stripeAPIKey = 3

// Retries while the daemon is starting or a vault is throttled.
const retry = `{"methodConfig": [{"name": [
	{"service": "claviger.v1.AccessService"}, {"service": "claviger.v1.ConnectionProfileService"},
	{"service": "claviger.v1.SecretService"}], "retryPolicy": {
	"maxAttempts": 5, "initialBackoff": "0.5s", "maxBackoff": "10s", "backoffMultiplier": 2,
	"retryableStatusCodes": ["UNAVAILABLE"]}}]}`

func main() {
	keys := fromEnvironment()
	settings := &stripe.BackendConfig{
		HTTPClient: &http.Client{Transport: keys, Timeout: 80 * time.Second},
		// The library's own log repeats Stripe's words about a key.
		LeveledLogger: &stripe.LeveledLogger{Level: stripe.LevelNull},
	}
	if base := os.Getenv("STRIPE_API_BASE"); base != "" {
		settings.URL = stripe.String(base)
	}
	client := stripe.NewClient(keys.now().text, stripe.WithBackends(stripe.NewBackendsWithConfig(settings)))
	cx := context.Background()
	list := &stripe.CustomerListParams{}
	list.Limit = stripe.Int64(100)
	for customer, err := range client.V1Customers.List(cx, list).All(cx) {
		if err != nil {
			// Not Stripe's message, which can repeat the key as it was sent.
			if refusal := new(stripe.Error); errors.As(err, &refusal) {
				stop(1, fmt.Sprintf("Stripe refused: %d %s", refusal.HTTPStatusCode, refusal.Code))
			}
			stop(1, "no answer from Stripe")
		}
		fmt.Println(customer.ID)
	}
}

// fromEnvironment is the keys, or the end of the process with the remedy on standard error.
func fromEnvironment() *keys {
	secret, profile, inline := os.Getenv("CLAVIGER_SECRET"), os.Getenv("CLAVIGER_PROFILE"), os.Getenv("STRIPE_API_KEY")
	const certain = "so that it is certain which key the job works with"
	switch {
	case secret != "" && profile != "":
		stop(configuration, "CLAVIGER_SECRET names "+secret+", and CLAVIGER_PROFILE "+profile+"; remove one of them, "+certain)
	case inline != "" && secret+profile != "":
		variable := "CLAVIGER_SECRET"
		if secret == "" {
			variable = "CLAVIGER_PROFILE"
		}
		stop(configuration, variable+" names "+secret+profile+", and STRIPE_API_KEY holds a key as well; "+
			"remove STRIPE_API_KEY, "+certain)
	case inline != "":
		return newKeys(func(string) stripeKey { return stripeKey{text: inline} })
	case profile != "":
		return newKeys(func(refused string) stripeKey { return ofProfile(profile, refused) })
	case secret == "":
		stop(configuration, "set CLAVIGER_SECRET to the definition: projects/{project}/secrets/{id}, or "+
			"CLAVIGER_PROFILE to the profile: projects/{project}/connectionProfiles/{id}")
	}
	return newKeys(func(string) stripeKey { return ofDefinition(secret) })
}

func ofDefinition(name string) stripeKey {
	// GetSecretRequest: name = 1, environment = 2.
	answer := ask(name, "SecretService/GetSecret", text(1, name), text(2, os.Getenv("CLAVIGER_ENVIRONMENT")))
	// GetSecretResponse: text = 2, stripe = 8, kind = 9; in stripe account = 3, context = 4.
	// Of another kind, nobody has looked whether the value is a key at all.
	if kind, _ := protowire.ConsumeVarint(field(answer, 9)); kind != stripeAPIKey {
		stop(configuration, name+" is not of kind STRIPE_API_KEY; set CLAVIGER_SECRET to a definition that is")
	}
	details := bytes(answer, 8)
	return stripeKey{text: string(bytes(answer, 2)), account: string(bytes(details, 3)), context: string(bytes(details, 4))}
}

func ofProfile(name, refused string) stripeKey {
	// ResolveConnectionRequest: name = 1, environment = 2, refused_version = 4.
	answer := ask(name, "ConnectionProfileService/ResolveConnection",
		text(1, name), text(2, os.Getenv("CLAVIGER_ENVIRONMENT")), text(4, refused))
	// ResolveConnectionResponse: credential = 1, account = 5, context = 6, expire_time = 7,
	// version = 8; in expire_time seconds = 1.
	key := stripeKey{text: string(bytes(answer, 1)), account: string(bytes(answer, 5)),
		context: string(bytes(answer, 6)), version: string(bytes(answer, 8))}
	if end, _ := protowire.ConsumeVarint(field(bytes(answer, 7), 1)); end > 0 {
		key.end = time.Unix(int64(end), 0)
	}
	return key
}

// ask is the answer of an RPC about the name, or the end of the process with the remedy.
func ask(name, rpc string, fields ...[]byte) []byte {
	answer, err := call(rpc, slices.Concat(fields...))
	if none := (noProof{}); errors.As(err, &none) {
		if none.again {
			stop(tryAgain, none.message)
		}
		stop(configuration, none.message)
	}
	if err != nil {
		code := configuration
		refusal, _ := status.FromError(err)
		if c := refusal.Code(); c == codes.Unavailable || c == codes.DeadlineExceeded {
			code = tryAgain
		}
		hint := ""
		if refusal.Code() == codes.Unauthenticated {
			hint = "; CLAVIGER_TOKEN_FILE names the file with the token, or CLAVIGER_PROOF where the platform's is"
		}
		stop(code, fmt.Sprintf("no key from %s: %s (%s)%s", name, refusal.Message(), refusal.Code(), hint))
	}
	return answer
}

func call(rpc string, request []byte) ([]byte, error) {
	channel, err := connect(os.Getenv("CLAVIGER_ADDRESS"))
	if err != nil {
		return nil, err
	}
	defer channel.Close()
	cx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	bearer, err := credentials(cx, channel)
	if err != nil {
		return nil, err
	}
	if bearer != "" {
		cx = metadata.AppendToOutgoingContext(cx, "authorization", "Bearer "+bearer)
	}
	var answer []byte
	err = channel.Invoke(cx, "/claviger.v1."+rpc, request, &answer, grpc.ForceCodec(bytesCodec{}))
	return answer, err
}

// connect speaks TLS, but over the socket, and on this host without CLAVIGER_CA_FILE.
func connect(address string) (*grpc.ClientConn, error) {
	if address == "" {
		address = "unix:/run/claviger/clavigerd.sock"
	}
	isSocket := strings.HasPrefix(address, "unix:")
	if !isSocket && (strings.Contains(address, "/") || !strings.Contains(address, ":")) {
		stop(configuration, "CLAVIGER_ADDRESS is neither unix:/path/of/the/socket nor host:port")
	}
	caFile := os.Getenv("CLAVIGER_CA_FILE")
	host, _, _ := net.SplitHostPort(address)
	isHere := isSocket || host == "127.0.0.1" || host == "::1" || host == "localhost"
	transport := insecure.NewCredentials()
	if !isSocket && caFile != "" || !isHere {
		settings := &tls.Config{}
		if caFile != "" {
			authorities, err := os.ReadFile(caFile)
			if err != nil {
				stop(configuration, "CLAVIGER_CA_FILE cannot be read: "+err.Error())
			}
			settings.RootCAs = x509.NewCertPool()
			settings.RootCAs.AppendCertsFromPEM(authorities)
		}
		transport = grpccredentials.NewTLS(settings)
	}
	return grpc.NewClient(address, grpc.WithTransportCredentials(transport), grpc.WithDefaultServiceConfig(retry),
		// A proxy would see token and key.
		grpc.WithNoProxy())
}

// credentials is the token that says who calls; over the socket there need not be one.
func credentials(cx context.Context, channel *grpc.ClientConn) (string, error) {
	file, proof := os.Getenv("CLAVIGER_TOKEN_FILE"), os.Getenv("CLAVIGER_PROOF")
	switch {
	case file != "" && proof != "":
		stop(configuration, "CLAVIGER_TOKEN_FILE and CLAVIGER_PROOF are both set; remove one of them")
	case proof != "":
		return (&identity{proof: proof, channel: channel}).token(cx)
	case file == "":
		return "", nil
	}
	token, err := os.ReadFile(file)
	if err != nil {
		stop(configuration, "CLAVIGER_TOKEN_FILE cannot be read: "+err.Error())
	}
	bearer := strings.TrimSpace(string(token))
	if !strings.HasPrefix(bearer, "clv_") || strings.ContainsFunc(bearer, isOdd) {
		stop(configuration, file+" has to hold a token (clv_…) and nothing else")
	}
	return bearer, nil
}

// isOdd tells the characters that no token has.
func isOdd(r rune) bool { return r <= ' ' || r > '~' }

// text is a field of that number with that text.
func text(number protowire.Number, content string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, number, protowire.BytesType), content)
}

// bytes is a text or message of that number, if the message around it has it.
func bytes(message []byte, wanted protowire.Number) []byte {
	found, _ := protowire.ConsumeBytes(field(message, wanted))
	return found
}

// field is the content of the field of that number, if the message has it.
func field(message []byte, wanted protowire.Number) []byte {
	var found []byte
	for len(message) > 0 {
		number, kind, tag := protowire.ConsumeTag(message)
		if tag < 0 {
			return nil
		}
		length := protowire.ConsumeFieldValue(number, kind, message[tag:])
		if length < 0 {
			return nil
		}
		if number == wanted {
			found = message[tag : tag+length]
		}
		message = message[tag+length:]
	}
	return found
}

// bytesCodec hands messages to gRPC as the bytes they are.
type bytesCodec struct{}

func (bytesCodec) Name() string                  { return "proto" }
func (bytesCodec) Marshal(v any) ([]byte, error) { return v.([]byte), nil }
func (bytesCodec) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}

func stop(code int, message string) {
	fmt.Fprintln(os.Stderr, "stripe-runner: "+message)
	os.Exit(code)
}
