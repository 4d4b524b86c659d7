// Package clients pins the Go clients whose own tests the matrix runs against a node.
package clients

import (
	_ "github.com/segmentio/kafka-go"
	_ "github.com/twmb/franz-go/pkg/kgo"
)
