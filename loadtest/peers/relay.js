// A relay to measure beside: what a publisher sends to /publish goes to every viewer of /view. `relay.js uwebsockets|ws` prints its port.
// `relay.js node-media-server PORT FOLDER` is an RTMP server there, which writes what it has to write into the folder.

const [library, port, folder] = process.argv.slice(2);

const relays = {
  async uwebsockets() {
    const { default: uws } = await import('uwebsockets');
    const app = uws.App();
    app.ws('/view', { idleTimeout: 0, maxBackpressure: 64 << 20, open: (socket) => socket.subscribe('media') });
    app.ws('/publish', { idleTimeout: 0, maxPayloadLength: 16 << 20, message: (_, message) => app.publish('media', message, true) });
    app.listen('127.0.0.1', 0, (listening) => console.log(uws.us_socket_local_port(listening)));
  },

  async ws() {
    const { WebSocketServer } = await import('ws');
    const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false, maxPayload: 16 << 20 });
    const viewers = new Set();
    server.on('connection', (socket, { url }) => {
      if (url === '/publish') {
        socket.on('message', (message) => viewers.forEach((viewer) => viewer.send(message)));
      } else {
        viewers.add(socket);
        socket.on('close', () => viewers.delete(socket));
      }
    });
    server.on('listening', () => console.log(server.address().port));
  },

  async 'node-media-server'() {
    const { default: NodeMediaServer } = await import('node-media-server');
    const { default: Rtmp } = await import('node-media-server/src/protocol/rtmp.js');
    // It sends media outside of any stream (id 0), which players forgive that look at one stream alone. Ours takes it by its stream's id.
    const { createMessage } = Rtmp;
    Rtmp.createMessage = (packet) => {
      const message = createMessage(packet);
      message.writeUInt32LE(1, 8);
      return message;
    };
    const off = { auth: {}, notify: {}, record: {}, webadmin: { enable: false } };
    await new NodeMediaServer({ ...off, bind: '127.0.0.1', rtmp: { port: Number(port) }, store: { path: folder } }).run();
  },
};

await relays[library]();
