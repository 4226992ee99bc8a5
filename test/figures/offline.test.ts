/** A figure may come from somebody else's notebook: the browser that draws it reaches no address that it names. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { withPainter } from "../../src/figures/save";
import type { Figure } from "../../src/figures/style";

test("a figure with a picture from the network is drawn without it", async () => {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? "");
    response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const source = `http://127.0.0.1:${(server.address() as AddressInfo).port}/picture.png`;
  const images = [{ source, x: 0, y: 1, sizex: 1, sizey: 1, xref: "paper", yref: "paper" }];
  const figure = { data: [{ x: [1, 2], y: [3, 4] }], layout: { images, width: 300, height: 200 } } as unknown as Figure;
  try {
    await withPainter(async (paint) => {
      expect((await paint(figure, "svg")).toString()).toContain("<svg");
      await paint(figure, "pdf");
    });
    expect(asked).toEqual([]);
  } finally {
    server.close();
  }
});
