// Places an order with a client whose types were generated from our OpenAPI document.
import createClient from "openapi-fetch";
import type { components, paths } from "./store-api.js";

type Order = components["schemas"]["OrderDetail"];

const api = createClient<paths>({
  baseUrl: process.env.STORE_URL ?? "",
  headers: { "X-API-Key": process.env.STORE_API_KEY ?? "" },
});

async function main(): Promise<Order> {
  const areas = await api.GET("/api/v1/address-reference/provinces/{code}/areas", {
    params: { path: { code: "IQ-BG" } },
  });
  const area = areas.data?.items[0];
  const products = await api.GET("/api/v1/store/integrations/catalog/products", {
    params: { query: { pageSize: 1, ordering: ["-createdAt"], isActive: true } },
  });
  const product = products.data?.items[0];
  if (!area?.id || !product?.sku) throw new Error("an area and a product are needed");

  const placed = await api.POST("/api/v1/store/integrations/orders", {
    body: {
      payment_method: "cod",
      fulfillmentType: "warehouse",
      customer: { name: "Sara", primaryPhone: "07701234567" },
      addressProvinceCode: "IQ-BG",
      addressAreaId: area.id,
      items: [{ sku: product.sku, quantity: 2 }],
    },
  });
  if (placed.error) throw new Error(`${placed.response.status} ${placed.error.code}`);
  return placed.data;
}

const order = await main();
console.log(JSON.stringify({ number: order.number, status: order.status, total: order.total }));
