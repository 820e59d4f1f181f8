package main

import (
	"net/http"
	"sync"
	"time"
)

// So long before its end a key is fetched again: Claviger has another one by then.
const keyMargin = time.Minute

// stripeKey is what a job calls Stripe with. No part of it is printed. That of a profile has a
// version, which names exactly this key, and perhaps an end.
type stripeKey struct {
	text, account, context, version string
	end                             time.Time
}

// keys are those of a job, one at a time. As an http.RoundTripper they go with each call to Stripe.
type keys struct {
	// Ends the process with the remedy where there is no key.
	fetch func(refused string) stripeKey
	lock  sync.Mutex
	key   stripeKey
}

func newKeys(fetch func(refused string) stripeKey) *keys {
	return &keys{fetch: fetch, key: fetch("")}
}

// now is the key for the next call.
func (k *keys) now() stripeKey {
	k.lock.Lock()
	defer k.lock.Unlock()
	if !k.key.end.IsZero() && time.Until(k.key.end) < keyMargin {
		k.key = k.fetch("")
	}
	return k.key
}

// refused says, of a key that Stripe said 401 to, whether the call is to be repeated, once.
func (k *keys) refused(key stripeKey) bool {
	k.lock.Lock()
	defer k.lock.Unlock()
	if key.version != "" && key == k.key {
		k.key = k.fetch(key.version)
	}
	return key.version != ""
}

// RoundTrip sends a call with the key that is good now, and once more if Stripe does not take it.
func (k *keys) RoundTrip(call *http.Request) (*http.Response, error) {
	key := k.now()
	answer, err := send(call, key)
	if err != nil || answer.StatusCode != http.StatusUnauthorized || !k.refused(key) {
		return answer, err
	}
	answer.Body.Close()
	return send(call, k.now())
}

func send(call *http.Request, key stripeKey) (*http.Response, error) {
	call = call.Clone(call.Context())
	if call.GetBody != nil {
		body, err := call.GetBody()
		if err != nil {
			return nil, err
		}
		call.Body = body
	}
	call.Header.Set("Authorization", "Bearer "+key.text)
	// A context goes before an account: the newer of the two says all that the older can.
	switch {
	case key.context != "":
		call.Header.Set("Stripe-Context", key.context)
	case key.account != "":
		call.Header.Set("Stripe-Account", key.account)
	}
	return http.DefaultTransport.RoundTrip(call)
}
