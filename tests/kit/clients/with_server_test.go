// What the official suite (api_test.go of the module) needs, for a server that runs already: %URL% is its address.
package toxiproxy_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"testing"

	tclient "github.com/Shopify/toxiproxy/v2/client"
)

var client = tclient.NewClient("%URL%")

func WithServer(t *testing.T, test func(string)) {
	t.Cleanup(func() {
		proxies, err := client.Proxies()
		if err != nil {
			t.Fatal(err)
		}
		for _, proxy := range proxies {
			if err := proxy.Delete(); err != nil {
				t.Fatal(err)
			}
		}
	})
	test("%URL%")
}

func AssertProxyUp(t *testing.T, address string, up bool) net.Conn {
	connection, err := net.Dial("tcp", address)
	if (err == nil) != up {
		t.Fatalf("%s: listening should be %v, but: %v", address, up, err)
	}
	return connection
}
