"""What the tests are made with: scripted peers, watched sockets, clocks that obey."""
